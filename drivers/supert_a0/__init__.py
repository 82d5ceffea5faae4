"""The superT A0 board: three 64 x 64 arrays of 1T1R TaOx cells behind a PIC32 on a USB serial port."""
