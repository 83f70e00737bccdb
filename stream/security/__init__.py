"""How clients show a Kafka broker who they are, and how they know the broker: logins, tokens and certificates.

`options` checks what is set together and gives both client libraries the same, `tokens` are bearer tokens from a file
or an endpoint, and `certificates` makes the context of TLS. Nothing here asks Kafka.
"""
