#!/usr/bin/env bash
# Style, types and tests, the same here and in CI:   bash tools/test.sh [arguments for pytest]
# Takes the Python of .venv, or the one that PYTHON names. Windows need a display: where there is
# none, Xvfb gives one; where there is no Xvfb either, the window tests skip and say what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3)
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores < 4 ? cores : 4))}
export PYTEST_QT_API=pyqt6

"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy

pytest=("$python" -m pytest)
# without Qt's system libraries pytest-qt would end the whole run
"$python" -c "import PyQt6.QtGui" 2>/dev/null || pytest+=(-p no:pytest-qt)
if [ "$(uname)" = Linux ] && [ -z "${DISPLAY:-}" ] && command -v xvfb-run >/dev/null && command -v xauth >/dev/null; then
  export QT_QPA_PLATFORM=xcb # 'offscreen' has no OpenGL
  exec xvfb-run -a -s "-screen 0 1280x1024x24" "${pytest[@]}" "$@"
fi
exec "${pytest[@]}" "$@"
