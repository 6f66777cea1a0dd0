"""``python -m mtlsedge`` is the ``mtlsedge`` command."""

from mtlsedge.cli import main

raise SystemExit(main())
