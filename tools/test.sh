#!/usr/bin/env bash
# Style, types and tests, the same here and in CI:   bash tools/test.sh [arguments for pytest]
# Takes the Python of .venv, or the one that PYTHON names. Windows need a display: on Linux without
# one, this installs Xvfb and Qt's system libraries where it may (Debian and Ubuntu, as root or with
# sudo that asks for no password); where it may not, the window tests skip and name what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

display_packages=(
  xvfb xauth libegl1 libdbus-1-3 libfontconfig1 libglib2.0-0 libxkbcommon0
  libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0
)

install_display() {
  command -v apt-get >/dev/null || return 0
  dpkg -s "${display_packages[@]}" >/dev/null 2>&1 && return 0
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || return 1
    root=(sudo -n)
  fi
  "${root[@]}" apt-get update -qq &&
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${display_packages[@]}"
}

python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3)
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores < 4 ? cores : 4))}
export PYTEST_QT_API=pyqt6

"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy

if [ "$(uname)" = Linux ] && [ -z "${DISPLAY:-}" ]; then
  install_display </dev/null >/dev/null || echo "could not install a virtual screen: window tests may skip"
fi
pytest=("$python" -m pytest)
# without Qt's system libraries pytest-qt would end the whole run
"$python" -c "import PyQt6.QtGui" 2>/dev/null || pytest+=(-p no:pytest-qt)
if [ "$(uname)" = Linux ] && [ -z "${DISPLAY:-}" ] && command -v xvfb-run >/dev/null && command -v xauth >/dev/null; then
  export QT_QPA_PLATFORM=xcb # 'offscreen' has no OpenGL
  exec xvfb-run -a -s "-screen 0 1280x1024x24" "${pytest[@]}" "$@"
fi
exec "${pytest[@]}" "$@"
