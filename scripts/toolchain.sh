# Where uv and Python come from. Read by scripts/setup and scripts/lock; not run by itself.
#
# What is found on the PATH is believed only when it runs in the project folder: a version manager leaves shims there
# that exist and exit non-zero. uv itself stops at the first such shim, so Python is looked for here and handed to it.

root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd -- "$root"
wanted="$(cat .python-version)"
verbose="${HEADGATE_VERBOSE:-}"

# The machine's certificates, where it has any: git and curl use them too, and a network may have one of its own.
if [[ "$(uname)" == Darwin || -n "$(ls -A /etc/ssl/certs 2>/dev/null)" ]]; then
  export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}" UV_NATIVE_TLS="${UV_NATIVE_TLS:-true}" # the second: before 0.9
fi
# uv keeps its cache in the home folder; without one that can be written, in the project.
[[ -w "${HOME:-}" ]] || export UV_CACHE_DIR="${UV_CACHE_DIR:-$root/.uv/cache}"

# What is being done goes to stdout, by another number where a function's own output is its result; what went wrong
# goes to stderr, in one sentence.
exec 3>&1
say() { printf 'setup: %s\n' "$1" >&3; }
fail() { printf 'setup: %s\n' "$1" >&2 && exit 1; }

runs() { "$@" </dev/null >/dev/null 2>&1; }

# What a tool says is shown on request only, and never on stdout.
quietly() { if [[ -n "$verbose" ]]; then "$@" </dev/null >&2; else runs "$@"; fi; }

# Every program on the PATH that has one of these names, one a line.
programs() {
  local name
  for name; do type -aP -- "$name" || true; done
}

find_uv() {
  local uv
  while read -r uv; do
    if runs "$uv" --version; then
      printf '%s\n' "$uv"
      return
    fi
  done < <(programs uv && printf '%s\n' "$root/.uv/venv/bin/uv")
  install_uv
}

# A system Python refuses `pip install` on current Debian and Ubuntu: uv gets an environment of its own.
install_uv() {
  local python
  python="$(find_python_with_venv)" || fail "uv is not installed, and no Python 3 with \`venv\` to fetch it: install\
 either one (Debian and Ubuntu: python3-venv), then run \`scripts/setup\` again"
  say "fetching uv into .uv"
  rm -rf .uv/venv
  quietly "$python" -m venv .uv/venv || fail "\`$python -m venv\` failed: \`scripts/setup --verbose\` shows why"
  quietly .uv/venv/bin/python -m pip install --require-hashes --only-binary :all: -r requirements-uv.lock ||
    fail "uv could not be fetched: install it or check the network; \`scripts/setup --verbose\` shows why"
  printf '%s\n' "$root/.uv/venv/bin/uv"
}

find_python_with_venv() {
  local python
  while read -r python; do
    if runs "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 8))'; then
      printf '%s\n' "$python"
      return
    fi
  done < <(programs "python$wanted" python3 python)
  return 1
}

# Prints the interpreter that the environment is made from: one installed here, one that uv has fetched before, or one
# that it fetches now, into the project folder.
find_python() {
  local uv="$1" python
  while read -r python; do
    if is_wanted "$python"; then
      # not the program itself: it may be a shim, or belong to the very environment that is about to be remade
      "$python" -c 'import sys; print(sys._base_executable)' </dev/null
      return
    fi
  done < <(programs "python$wanted" python3 python; pyenv_pythons)
  find_fetched_python "$uv" && return
  export UV_PYTHON_INSTALL_DIR="$root/.uv/python" UV_PYTHON_INSTALL_BIN=0
  find_fetched_python "$uv" && return
  say "fetching Python $wanted into .uv"
  quietly "$uv" python install "$wanted" && find_fetched_python "$uv" ||
    fail "Python $wanted is not installed and could not be fetched: install it, then run \`scripts/setup\` again"
}

is_wanted() { runs "$1" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$wanted"; }

pyenv_pythons() { printf '%s\n' "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$wanted".*/bin/python; }

find_fetched_python() { "$1" python find --system --python-preference only-managed "$wanted" 2>/dev/null </dev/null; }
