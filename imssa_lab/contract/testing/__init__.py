"""The contract of `CrossbarArray` as tests, for those who write a driver. Needs pytest; nothing else imports this.

A test file of a driver is a class:

    from imssa_lab.contract.testing import ContractSuite

    class TestMyBoard(ContractSuite):
        set_pulse, reset_pulse = (2.0, 0.7, 10e-6), (1.6, 5.0, 1e-3)

        @pytest.fixture
        def array(self):
            return open_array("my-board:PLACE")
"""

from imssa_lab.contract.errors import ConfigError

try:
    import pytest
except ImportError as error:
    raise ConfigError(
        f'imssa_lab.contract.testing needs pytest ({error}): pip install "imssa-lab[testing]"'
    ) from error

for _name in ("electrodes", "other_threads", "suite"):  # so that a failure shows what was compared
    pytest.register_assert_rewrite(f"imssa_lab.contract.testing.{_name}")

from imssa_lab.contract.testing.suite import ContractSuite, Run, Script  # noqa: E402

__all__ = ["ContractSuite", "Run", "Script"]
