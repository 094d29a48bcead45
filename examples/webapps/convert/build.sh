#!/bin/sh
# Two bundles: core has the service, web uses it. CLASSPATH has the framework's packages.
set -e
mkdir -p bundles
for name in core web; do
  javac --release 17 -cp "$CLASSPATH:classes/core" -d classes/$name $name/convert/$name/*.java
  jar --create --file bundles/$name.jar --manifest $name/bundle.mf -C classes/$name .
done
