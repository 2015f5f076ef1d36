#!/bin/sh
# Creates the namespace once Temporal answers.
set -eu

until temporal operator cluster health >/dev/null; do sleep 2; done
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null ||
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 720h
