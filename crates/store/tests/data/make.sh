#!/bin/sh
# Makes the certificates for the tests of TLS: an authority, a server at 127.0.0.1, a client. They prove nothing to anybody and last a century.
set -eu
new() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
new ca && openssl req -x509 -new -key ca.key -subj "/CN=TupleNet tests" -days 36500 -out ca.pem
for name in server client; do
    new "$name"
    openssl pkcs8 -topk8 -nocrypt -in "$name.key" -out "$name.p8" && mv "$name.p8" "$name.key"
    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' > ext
    openssl req -new -key "$name.key" -subj "/CN=$name" | openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 36500 -extfile ext -out "$name.pem"
done
rm -f ext ca.key ca.srl
