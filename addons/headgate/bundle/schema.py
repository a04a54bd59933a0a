"""The tables of state.db that hold rule versions.

A bundle is kept whole, each of its files once under the hash of its bytes: most versions differ in one file. The
history of activations can be added to, and nothing else.
"""

from sqlite_utils import Database, Migrations

MIGRATIONS = Migrations("headgate-bundle")

BUNDLES = """
create table bundles (
  sha256 text primary key,
  name text not null,
  version text not null,
  digest text not null,  -- of the names and bytes of its files, but for the signature
  stored real not null,  -- seconds since the epoch
  by text not null
) strict
"""
BLOBS = """
create table bundle_blobs (
  digest text primary key,  -- SHA-256
  data blob not null
) strict
"""
FILES = """
create table bundle_files (
  sha256 text not null references bundles,
  name text not null,  -- relative to the folder, with `/`
  digest text not null references bundle_blobs,
  primary key (sha256, name)
) strict
"""
ACTIVATIONS = """
create table activations (
  id integer primary key autoincrement,
  how text not null check (how in ('folder', 'activate', 'rollback', 'refused')),
  sha256 text check (sha256 is not null or how = 'refused'),
  name text,
  version text,
  time real not null,  -- seconds since the epoch
  by text not null,
  note text not null,
  previous text  -- the hash that was active before
) strict
"""
TRIGGERS = (
    "create trigger activations_not_updated before update on activations begin "
    "select raise(abort, 'the history only grows'); end",
    "create trigger activations_not_deleted before delete on activations begin "
    "select raise(abort, 'the history only grows'); end",
)


@MIGRATIONS()
def m001_versions(db: Database) -> None:
    for statement in (BUNDLES, BLOBS, FILES, ACTIVATIONS, *TRIGGERS):
        db.execute(statement)
