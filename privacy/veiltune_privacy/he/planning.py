"""What the sites are sent back: whole sums, or first components and the seeds of the rest."""

from veiltune_privacy.he.parameters import CipherParameters, Form

SECONDS_A_BYTE = 8 / 100e6
"""A site's downlink of 100 Mbit/s."""
SECONDS_A_SEED = 1.5e-4
"""CPU time in which the second component of a ciphertext is made from its seed."""


def choose_form(cipher: CipherParameters, sites: int) -> Form:
    """The form whose transfer and computing together take a site less time.

    Seeds are about half as many bytes. Every site then expands the seeds of all sites, which the
    server does once for the full form, so with many sites the full form is better.
    """
    expansion_s = sites * cipher.ciphertexts * SECONDS_A_SEED
    seconds: dict[Form, float] = {
        "seeds": cipher.download_bytes("seeds", sites) * SECONDS_A_BYTE + expansion_s,
        "full": cipher.download_bytes("full", sites) * SECONDS_A_BYTE + expansion_s / sites,
    }
    return min(seconds, key=lambda form: seconds[form])
