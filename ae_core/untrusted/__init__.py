"""Reading an archive that anybody may have made: `--untrusted`.

Two processes. The *guard* is the caller's: it holds the credentials, does all reading from the store, compares every
digest, and writes every file. The *worker* is a child without environment, network, files to write, or memory and time
beyond its caps; it alone looks into what was read. Between them are frames over two pipes: the worker asks for objects
by name and answers with plain records and Arrow streams, which the guard checks as it would a stranger's.

    guard    caps ─► start worker ─► serve objects (names, lengths, SHA-256) ◄──┐ ask
             OUT  ◄─ names, rows, bytes, validate(full) ◄─ tables, result       │
    worker   load kernels ─► confine itself ─► read the archive, decode ────────┘
"""
