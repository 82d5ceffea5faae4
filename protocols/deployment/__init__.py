"""Deploy and verify: plan, program, mend, verify on four levels."""
