# treadle: every target does its own set-up. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
COMMA := ,
ZIG := $(if $(shell command -v g++),,$(COMMA)zig)# tests run the GPU's kernels on this processor: by g++, or this
# Tests and benchmarks start treadle hundreds of times: its files are compiled once.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test e2e check bench executor gpu papers controlplane controlplane-if-possible model-servers definitions cluster demo-cluster clean switching switching-live scale soak chart-files images cuda-images lock

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## (.*)/  make \1|\2/' | column -t -s '|'

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "treadle needs Python 3.11 or newer; set PYTHON=…"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test$(ZIG)]'
	@touch $@

install: $(READY) ## a virtual environment in .venv with treadle in it
	@echo 'for this shell: export PATH=$(CURDIR)/$(BIN):$$PATH; then try: treadle --help'

demo: $(READY) ## train, serve and load seventeen tenants on this machine, and write a report
	$(BIN)/treadle demo $(DEMO_ARGS)

# Needs no virtual environment: Python, and Go or a package index that has it.
BUILD_CONTROLPLANE = PYTHONPATH=tests/cluster $(PYTHON) -m controlplane

controlplane: ## the Kubernetes control plane for tests (a quarter of an hour once, then kept outside the tree); prints its folder
	@$(BUILD_CONTROLPLANE)

controlplane-if-possible:
	@$(BUILD_CONTROLPLANE) --if-possible >&2
	@$(BUILD_CONTROLPLANE) --if-possible --model-servers >&2
	@$(BUILD_CONTROLPLANE) --if-possible --definitions >&2

model-servers: ## the servers that tests have models come from (some minutes once, then kept outside the tree); prints their folder
	@$(BUILD_CONTROLPLANE) --model-servers

definitions: ## definitions of other projects' kinds, by which tests judge the chart (a minute once, then kept outside the tree); prints their folder
	@$(BUILD_CONTROLPLANE) --definitions

cluster: $(READY) ## a control plane, the operator and two agents to try things on, until Ctrl-C
	@$(BUILD_CONTROLPLANE) > /dev/null
	@PYTHONPATH=tests/cluster $(BIN)/python -m bed

# What a real node is made of: binaries, images, and Debian's containerd, CNI plugins and iptables.
NODE_PARTS = $(BUILD_CONTROLPLANE) > /dev/null && $(BUILD_IMAGES) > /dev/null && \
	PYTHONPATH=tests/images:tests/e2e $(PYTHON) -m node.tools

demo-cluster: $(READY) ## a node with real Pods on this machine (as root), the chart and the examples on it, and a live view, until Ctrl-C
	@$(NODE_PARTS)
	@PYTHONPATH=tests/cluster:tests/images:tests/e2e:tests/objects $(BIN)/python -m node

chart-files: $(READY) ## the chart's copies of what lies elsewhere in the tree
	cp crds/*.yaml charts/treadle/files/crds/
	PYTHONPATH=charts $(BIN)/python -m monitoring charts/treadle/files/monitoring

test: $(READY) controlplane-if-possible ## all tests but those of images, of a node with Pods, and the soak
	$(BIN)/python -m pytest -n 3 --no-loadscope-reorder $(TEST_ARGS)

# Needs no virtual environment: Python, and Debian's buildah, podman, runc and mmdebstrap, which it installs as root.
BUILD_IMAGES = PYTHONPATH=tests/images $(PYTHON) -m images

images: $(READY) ## build the images of operator and agent (ten minutes once, then kept outside the tree), and test them
	@$(BUILD_IMAGES)
	$(BIN)/python -m pytest -m 'images and not cuda_images' tests/images $(TEST_ARGS)

cuda-images: $(READY) ## the agent's images for CUDA 12 and 13 as well (four gigabytes), and tests of them without a GPU
	@$(BUILD_IMAGES) operator agent agent-cuda12 agent-cuda13
	$(BIN)/python -m pytest -m cuda_images tests/images $(TEST_ARGS)

e2e: $(READY) ## a node with real Pods on this machine, the chart installed there, and all that must hold while it serves
	@$(NODE_PARTS)
	$(BIN)/python -m pytest -m e2e $(TEST_ARGS) tests/e2e

lock: ## requirements/*.lock, anew: the newest versions of what the images install, with the hashes of their files
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet uv==0.13.9
	$(LOCK) -o requirements/build.lock requirements/build.in
	$(LOCK) -o requirements/sbom.lock requirements/sbom.in
	$(LOCK) -o requirements/operator.lock requirements/operator.in
	$(LOCK) -o requirements/agent-none.lock pyproject.toml --extra agent
	$(LOCK) -o requirements/agent-12.lock pyproject.toml requirements/cuda12.in --extra agent --extra cuda12
	$(LOCK) -o requirements/agent-13.lock pyproject.toml requirements/cuda13.in --extra agent --extra cuda13

LOCK = $(VENV)-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command 'make lock'

soak: $(READY) ## what takes minutes: long outages of the API server, kills after every call
	@$(BUILD_CONTROLPLANE) > /dev/null
	TREADLE_REQUIRE_CLUSTER=1 $(BIN)/python -m pytest -m soak $(TEST_ARGS)

check: $(READY) ## ruff, mypy --strict, the import contracts and hadolint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile.*

bench: $(READY) ## the serving benchmark against its peers (half an hour); writes docs/performance.md
	$(BIN)/treadle bench serving --json benchmarks/results/serving.json $(BENCH_ARGS)
	$(BIN)/python benchmarks/performance_page.py
	$(BIN)/python benchmarks/readme_figures.py
	$(BIN)/python benchmarks/check_expected.py

papers: $(READY) ## the papers' figures on the simulated GPU, and 60 models in memory (some minutes); writes docs/papers.md
	$(BIN)/treadle bench kernels --json benchmarks/results/kernels-simulated-v100.json
	$(BIN)/treadle simulate multiplexing --json benchmarks/results/multiplexing.json --plots docs/papers
	$(BIN)/treadle simulate goodput --json benchmarks/results/goodput.json
	$(BIN)/treadle bench memory --size 64 --json benchmarks/results/memory.json
	$(BIN)/python benchmarks/papers_page.py
	$(BIN)/python benchmarks/readme_figures.py
	$(BIN)/python benchmarks/check_papers.py

executor: $(READY) ## the executor beside ONNX Runtime, and random worlds through its scheduler; writes docs/executor.md
	-$(BIN)/treadle bench host --json benchmarks/results/host.json
	-$(BIN)/treadle bench scheduling --json benchmarks/results/scheduling.json
	$(BIN)/python benchmarks/executor_page.py
	$(BIN)/python benchmarks/readme_figures.py
	$(BIN)/python benchmarks/check_executor.py

switching: $(READY) ## model switching on a simulated clock (some minutes); writes docs/model-switching.md
	$(BIN)/treadle simulate model-switching --paper --json benchmarks/results/model-switching.json --plots docs/model-switching
	$(BIN)/python benchmarks/model_switching_page.py
	$(BIN)/python benchmarks/check_model_switching.py

switching-live: $(READY) ## tiers chosen and pinned through a spike, over real HTTP (half an hour); writes docs/switching.md
	$(BIN)/treadle bench switching --json benchmarks/results/switching.json
	$(BIN)/python benchmarks/switching_page.py
	$(BIN)/python benchmarks/readme_figures.py
	$(BIN)/python benchmarks/check_switching.py

scale: $(READY) ## the operator with 2,000 tenants on 200 nodes, on a real API server (some minutes); writes docs/scale.md
	@$(BUILD_CONTROLPLANE) > /dev/null
	$(BIN)/python benchmarks/placement_scale.py --json benchmarks/results/placement.json
	$(BIN)/python benchmarks/scale_page.py
	$(BIN)/python benchmarks/check_placement.py

gpu: $(READY) ## device tests, kernels and serving on this machine's GPU; writes benchmarks/results/gpu-*.json
	$(BIN)/treadle bench kernels --device cuda --json benchmarks/results/gpu-kernels.json
	$(BIN)/treadle bench serving --device cuda --json benchmarks/results/gpu-serving.json
	TREADLE_REAL_GPU=1 $(BIN)/python -m pytest tests/conformance/cuda

clean: ## remove what make made inside the tree
	rm -rf $(VENV) $(VENV)-lock .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis demo-out
