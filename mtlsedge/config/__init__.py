"""What did the operator write? TOML and command line to one frozen `Configuration`.

    options (command line) ┐
                           ├─ load ── edge, hosts, clients, groups, applications ── rules
    TOML file ─────────────┘             (one file for each table)

==========================  ==============================================================
``load``                    the whole: a mapping to a `Configuration`, or every problem
``options``                 the command line, as the mapping that a file would give
``edge`` ... ``rules``      what each table may say
``reader``                  typed access by key; notes problems and unknown keys by path
``values``, ``network``,    what one value may say: durations, sizes, addresses, origins,
``certificate_values``      serials, names
``files``, ``pem``          the operator's files, read with care and parsed
``judgement``               is what they hold fit for its use? Problems and warnings
==========================  ==============================================================
"""
