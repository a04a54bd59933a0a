"""The tables of state.db that policy keeps. The changes of signals can be added to, and nothing else."""

from sqlite_utils import Database, Migrations

MIGRATIONS = Migrations("headgate-policy")

SIGNALS = """
create table signals (
  name text primary key,
  since real not null,  -- seconds since the epoch
  until real not null,
  reason text not null,
  by text not null
) strict
"""
CHANGES = """
create table signal_changes (
  id integer primary key autoincrement,
  time real not null,  -- seconds since the epoch
  what text not null check (what in ('set', 'clear')),
  name text not null,
  until real check ((until is null) = (what = 'clear')),
  reason text not null,
  by text not null
) strict
"""
VERSION = """
create table signal_version (
  id integer primary key check (id = 1),
  version integer not null  -- one more with every change of `signals`, whoever makes it
) strict
"""
TRIGGERS = (
    "create trigger signals_inserted after insert on signals begin "
    "update signal_version set version = version + 1; end",
    "create trigger signals_updated after update on signals begin update signal_version set version = version + 1; end",
    "create trigger signals_deleted after delete on signals begin update signal_version set version = version + 1; end",
    "create trigger signal_changes_not_updated before update on signal_changes begin "
    "select raise(abort, 'the record only grows'); end",
    "create trigger signal_changes_not_deleted before delete on signal_changes begin "
    "select raise(abort, 'the record only grows'); end",
)


@MIGRATIONS()
def m001_signals(db: Database) -> None:
    for statement in (SIGNALS, CHANGES, VERSION, *TRIGGERS):
        db.execute(statement)
    db.execute("insert into signal_version values (1, 0)")
