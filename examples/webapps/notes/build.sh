#!/bin/sh
# What containers bring (the servlet API) is in CLASSPATH.
set -e
javac -d webapp/WEB-INF/classes src/notes/*.java
jar --create --file notes.war -C webapp .
