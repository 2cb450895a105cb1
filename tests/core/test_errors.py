import pytest

from stacksam.core.errors import ReadError, StackSAMError, WriteError


@pytest.mark.parametrize(("error", "builtin"), [(ReadError, ValueError), (WriteError, OSError)])
def test_a_file_problem_is_caught_as_ours_and_as_the_builtin(error, builtin):
    for caught in (StackSAMError, builtin):
        with pytest.raises(caught, match="scan is damaged"):
            raise error("scan is damaged")
