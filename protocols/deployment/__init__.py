"""Deploy and verify: plan, program, repair, verify on four levels."""
