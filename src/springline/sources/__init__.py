"""Systems that change, one module or package each, behind the contract in ``base``."""
