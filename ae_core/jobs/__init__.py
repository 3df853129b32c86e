"""What people ask of the library, one module each: profile, plan, compress, list, decode, verify, audit.

Jobs join the codec (`ae_core.pipeline`), the archive and the reports; Prefect flows and the command line wrap them.
"""
