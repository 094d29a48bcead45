#!/bin/sh
# A bundle is a JAR with some more headers in its manifest: the JDK makes one, against any framework's own JAR.
set -e
javac --release 17 -cp /usr/share/java/eclipse-osgi.jar -d classes src/rates/*.java
jar --create --file rates.jar --manifest bundle.mf -C classes .
