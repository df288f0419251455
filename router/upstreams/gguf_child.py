"""The child process of a gguf upstream: llama.cpp's own server around one model, on loopback.

It reads its settings as one line of JSON from standard input (not from its arguments, which every process can
see), prints its address as one line of JSON, and then waits for that input to end: the pipe breaks when the parent
dies, however it dies, and the child goes too. llama.cpp logs to standard error.
"""

from __future__ import annotations

import json
import os
import sys

SLOTS = 4
"""Answers written at a time; `context` is what each of them has."""
_HTTP_THREADS = 128
_PROMPT_CACHE_MIB = 256


def main() -> None:
    announcements = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that llama.cpp prints may pass for an announcement
    settings = json.loads(sys.stdin.buffer.readline())

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.model_alias = {settings["alias"]}
    params.api_keys = [settings["api_key"]]
    params.cpuparams.n_threads = settings["threads"]
    params.n_ctx = settings["context"] * SLOTS
    params.n_parallel = SLOTS
    params.kv_unified = False
    params.embedding = True  # for models that have a pooling; it costs the others nothing
    params.cache_ram_mib = _PROMPT_CACHE_MIB  # llama.cpp's own default is 8 GiB
    params.n_threads_http = _HTTP_THREADS  # every open answer holds one
    params.fit_params = False
    params.offline = True
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = 2
    try:
        server = xllamacpp.Server(params)
    except RuntimeError:
        sys.exit(1)  # llama.cpp has said why on standard error
    with announcements:
        print(json.dumps({"address": server.listening_address}), file=announcements)
    sys.stdin.buffer.read()
    os._exit(0)  # an orderly end would wait for answers that nobody reads any more


if __name__ == "__main__":
    main()
