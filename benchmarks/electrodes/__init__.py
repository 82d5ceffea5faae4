"""What electrodes see: bugs planted in drivers, which their tests must see."""
