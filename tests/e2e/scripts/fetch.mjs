// Node's own fetch, as an agent calls it: one request after the other, and what came of each, as JSON on stdout.

const got = [];
for (const [method, url, headers] of JSON.parse(process.argv[2])) {
  try {
    const response = await fetch(url, { method, headers });
    got.push([response.status, await response.text()]);
  } catch (error) {
    const told = [];
    for (let cause = error; cause; cause = cause.cause) told.push(cause.message);
    got.push([0, told.join(": ")]);
  }
}
console.log(JSON.stringify(got));
