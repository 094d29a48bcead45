#!/bin/sh
# What containers bring (the servlet API) is in CLASSPATH.
set -e
javac -d webapp/WEB-INF/classes src/words/*.java
jar --create --file words.war -C webapp .
