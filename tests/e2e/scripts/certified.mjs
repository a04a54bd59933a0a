// Node's own https with a client certificate: as many connections as asked for, one after the other, each offering to
// resume the one before. Prints for each its status, whether it was resumed, or what went wrong, as JSON.
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";

const [url, file, count] = process.argv.slice(2);
const own = readFileSync(file);
const agent = new Agent({ keepAlive: false, cert: own, key: own, rejectUnauthorized: false });

function ask() {
  return new Promise((resolve) => {
    const sent = request(url, { agent }, (response) => {
      const resumed = response.socket.isSessionReused();
      response.resume().on("end", () => resolve([response.statusCode, resumed]));
    });
    sent.on("error", (error) => resolve([0, error.message]));
    sent.end();
  });
}

const got = [];
for (let turn = 0; turn < Number(count); turn++) got.push(await ask());
console.log(JSON.stringify(got));
