"""The servers that treadle is measured against, each written or configured as well as we know how."""
