#!/bin/sh
# Two bundles: core has the service, web uses it.
set -e
mkdir -p bundles
for name in core web; do
  javac --release 17 -cp /usr/share/java/eclipse-osgi.jar:classes/core -d classes/$name $name/convert/$name/*.java
  jar --create --file bundles/$name.jar --manifest $name/bundle.mf -C classes/$name .
done
