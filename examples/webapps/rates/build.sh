#!/bin/sh
# A bundle is a JAR with some more headers in its manifest: the JDK makes one. CLASSPATH has the framework's packages.
set -e
javac --release 17 -d classes src/rates/*.java
jar --create --file rates.jar --manifest bundle.mf -C classes .
