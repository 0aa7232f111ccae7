# `make serve` serves, `make test` tests; both make the environment they need. `make help` lists the rest.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
SERVE ?=
TEST ?=

.NOTPARALLEL:
.PHONY: help serve test test-torch check bench bench-gateway bench-peers drills rollout-story gpu-check proto format clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

serve: $(VENV)/.cpu model  ## build what is missing, then serve pictures (SERVE="--rest-port 9000" for options)
	@$(BIN)/fovea serve $(SERVE)

# Most tests wait for servers, so several run at once.
test: $(VENV)/.dev model  ## install what the tests need, then run them (TEST="-k gate" for options)
	@$(BIN)/python -m pytest -n 3 --dist worksteal $(TEST)

test-torch: $(VENV)-torch/.torch model  ## compare the default model with the PyTorch network (needs torch)
	@$(VENV)-torch/bin/python -m pytest tests/torch $(TEST)

check: $(VENV)/.dev  ## ruff, mypy strict, import contracts, Dockerfile
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/hadolint Dockerfile.gpu

bench: $(VENV)/.dev model  ## measure Triton and the gateway against the bare loop: table, JSON, chart (BENCH="--seconds 3")
	@$(BIN)/python -m benchmarks.serving $(BENCH)

drills: $(VENV)/.dev model  ## hurt servers and compare with what is promised (DRILL=spike one, SCALE=short hastily)
	@$(BIN)/python -m tests.drills --scale $(or $(SCALE),full) $(if $(DRILL),--only $(DRILL))

rollout-story: $(VENV)/.dev model  ## a canary, an A/B, a shadow and an export on a real server with real photographs
	@$(BIN)/python -m tests.e2e.rollout_story

gpu-check:  ## on a machine with an NVIDIA GPU: its tests, then its benchmark, in under ten minutes (IMAGES=folder)
	@PYTHON=$(PYTHON) deploy/gpu_check.sh $(VENV) $(IMAGES)

bench-peers: $(VENV)/.dev model  ## the same model behind FastAPI, LitServe, BentoML and MLServer (BENCH="--large": 12 MP photographs)
	@$(BIN)/python -m benchmarks.peers $(BENCH)

bench-gateway: $(VENV)/.dev model  ## what the gateway alone carries, with the model's cost taken out, by 1 and 2 workers
	@$(BIN)/python -m benchmarks.gateway $(BENCH)

proto: $(VENV)/.dev  ## compile the wire format again after changing vision.proto
	@$(BIN)/python -m grpc_tools.protoc -I client \
		-I $$($(BIN)/python -c "import google.rpc, os; print(os.path.dirname(os.path.dirname(google.rpc.__path__[0])))") \
		--python_out=client --pyi_out=client --grpc_python_out=client fovea_client/wire/vision.proto

format: $(VENV)/.dev  ## format the code
	@$(BIN)/ruff check --fix --quiet . && $(BIN)/ruff format --quiet .

.PHONY: model
model:
	@$(BIN)/fovea models build --quiet

clean:  ## remove environments and built artefacts
	rm -rf $(VENV) $(VENV)-torch .cache model_repository/*/1/model*.onnx model_repository/*/1/model.plan*

$(VENV)/.cpu: pyproject.toml
	@PYTHON=$(PYTHON) deploy/environment.sh $(VENV) cpu,log && touch $@

$(VENV)/.dev: pyproject.toml
	@PYTHON=$(PYTHON) deploy/environment.sh $(VENV) cpu,dev && touch $@ $(VENV)/.cpu

$(VENV)-torch/.torch: $(VENV)/.dev
	@PYTHON=$(BIN)/python UPON=$(VENV) deploy/environment.sh $(VENV)-torch cpu,dev torch==2.13.0 torchvision==0.28.0 timm==1.0.31 onnxscript==0.7.2 efficientnet_lite_pytorch==0.1.0 && touch $@
