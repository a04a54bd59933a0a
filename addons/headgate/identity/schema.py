"""The tables of state.db that identity keeps: revocations, and the release list that was last accepted."""

from sqlite_utils import Database, Migrations

MIGRATIONS = Migrations("headgate-identity")

REVOCATIONS = """
create table if not exists revocations (
  id integer primary key autoincrement,  -- an id that was lifted never comes again
  kind text not null check (kind in ('session', 'principal', 'token')),
  provider text,  -- null: any
  value text not null,
  reason text not null,
  created real not null,  -- seconds since the epoch
  expires real not null,
  by text not null
) strict
"""
ONE_FOR_EACH = """
create unique index if not exists revocations_one_for_each on revocations (kind, coalesce(provider, ''), value)
"""
CHANGES = """
create table if not exists revocation_changes (
  id integer primary key check (id = 1),
  version integer not null  -- one more with every change, whoever makes it
) strict
"""
ACCEPTED_RELEASES = """
create table if not exists accepted_releases (
  id integer primary key check (id = 1),
  revision integer not null,
  digest text not null,
  accepted real not null
) strict
"""
TRIGGERS = (
    "create trigger if not exists revocations_inserted after insert on revocations begin "
    "update revocation_changes set version = version + 1; end",
    "create trigger if not exists revocations_updated after update on revocations begin "
    "update revocation_changes set version = version + 1; end",
    "create trigger if not exists revocations_deleted after delete on revocations begin "
    "update revocation_changes set version = version + 1; end",
)


@MIGRATIONS()
def m001_revocations_and_releases(db: Database) -> None:
    for statement in (REVOCATIONS, ONE_FOR_EACH, CHANGES, ACCEPTED_RELEASES, *TRIGGERS):
        db.execute(statement)
    db.execute("insert or ignore into revocation_changes values (1, 0)")
