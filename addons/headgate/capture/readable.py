"""The views of capture.db: what a person reads who opens the file with any tool.

Times in ISO 8601, one word for what became of a request, and text where it is text. They use nothing that SQLite keeps
from the views of a file it does not trust, such as the functions for JSON.
"""

FLOWS = """
select
  d.id as decision_id,
  f.flow_id,
  strftime('%Y-%m-%dT%H:%M:%fZ', f.ts_start, 'unixepoch') as time,
  round((f.ts_end - f.ts_start) * 1000, 1) as ms,
  f.principal, p.kind, p.provider, p.groups,
  f.method, f.scheme || '://' || f.host || ':' || f.port || f.path as url,
  d.target, d.environment,
  case
    when d.mode = 'imported' then 'imported'
    when d.refusal = 'withheld' then 'withheld'
    when d.refusal is not null or (d.effect <> 'allow' and d.mode <> 'observe') then 'refused'
    when f.error is not null then 'failed'
    when d.effect <> 'allow' then 'observed'
    else 'allowed'
  end as verdict,
  d.effect, d.mode, d.reason, d.rule, d.refusal_reason, d.approval_id,
  f.status, d.masked, f.req_size, f.resp_size, f.error,
  f.kind as flow_kind,
  f.connection,
  r.name || ' ' || r.version as bundle,
  f.id as flow
from decisions d
join flows f on f.id = d.flow
left join principals p on p.key = f.principal_key
left join rulesets r on r.sha256 = d.ruleset
"""

BODIES = """
select key, size, codec, case codec when 'identity' then cast(data as text) end as text from bodies
"""

MESSAGES = """
select
  m.decision as decision_id,
  m.n,
  strftime('%Y-%m-%dT%H:%M:%fZ', m.time, 'unixepoch') as time,
  case m.from_client when 1 then 'caller' else 'upstream' end as sender,
  m.kind,
  case when m.kind = 'text' and b.codec = 'identity' then cast(b.data as text) end as text,
  m.size,
  m.truncated,
  m.flow_id,
  m.id as message
from messages m
left join bodies b on b.key = m.body
"""
