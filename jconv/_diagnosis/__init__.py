"""Why a call fails, and the smallest change that mends it."""
