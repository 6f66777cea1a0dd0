"""How is a certificate made? ``mint`` makes it in memory, ``files`` puts it in its place."""
