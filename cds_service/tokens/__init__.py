"""Client tokens (JWT): whose they are, by keys that the site trusts. Cryptography is PyJWT's."""
