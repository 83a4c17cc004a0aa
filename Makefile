# SPDX-License-Identifier: GPL-3.0-or-later
#
# The one list of what can be run here. `make help` shows it.
#
# TESTBED=NAME chooses another set of hosts beside the default one. `make molecule SCENARIO=NAME STEP=converge` does one
# step of a scenario and leaves its hosts; without STEP the whole scenario runs and removes them.

SCENARIO ?= default
STEP ?= test
LOGIN_HOST ?= debian13
LOGIN_USER ?= alice

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
BIN := build/venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# without it every run of the tests compiles them anew
unexport PYTHONDONTWRITEBYTECODE
export ANSIBLE_HOME := $(CURDIR)/build/ansible
export MOLECULE_EPHEMERAL_DIRECTORY := $(CURDIR)/build/molecule/$(SCENARIO)
export MOLECULE_COMMAND_BORDERS := false
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/build/collections

.DEFAULT_GOAL := help
.PHONY: help setup tools test lint unit sanity molecule faults adopt upgrade slurm gpu test-gpu ood test-vm bench demo login clean

## Use

demo: setup ## Boot a back-end, provision it, pull and run a container the way a researcher does
	@testbed/demo

login: ## Log in to a demo host (LOGIN_HOST=debian13 LOGIN_USER=alice)
	@testbed/hosts login $(LOGIN_HOST) $(LOGIN_USER)

## Test

# molecule is the first: it keeps the hosts that the other scenarios wait for
test: setup ## Lint, sanity, unit tests, all of molecule's scenarios, in lanes side by side
	@testbed/run-all molecule faults + test-vm gpu adopt upgrade + lint sanity unit slurm + ood

lint: tools ## ansible-lint (production), yamllint, ruff, black, mypy
	@tests/lint

unit: tools ## Unit tests, in seconds
	@pytest tests/unit --numprocesses=auto --dist=loadfile --no-loadscope-reorder --max-worker-restart=0 $(ARGS)

sanity: tools ## ansible-test sanity, on what git would commit
	@tests/sanity/run $(ARGS)

# the scenario default keeps its hosts for the others
KEEPING := $(if $(filter default-test,$(SCENARIO)-$(STEP)),testbed/provisioned while)

molecule: setup ## One molecule scenario on real hosts (SCENARIO=default)
	@TESTBED=$${TESTBED:-molecule} $(KEEPING) molecule $(STEP) --scenario-name $(SCENARIO)

faults: setup ## The scenario faults: hostile input, faults, signals, secrets, load, both runners
	@$(MAKE) molecule SCENARIO=faults TESTBED=$${TESTBED:-molecule-faults}

adopt: setup ## The scenario adopt: a host that somebody configured by hand, adopted, and as before without us
	@$(MAKE) molecule SCENARIO=adopt TESTBED=$${TESTBED:-molecule-adopt}

upgrade: setup ## The scenario upgrade: an earlier version of the collection, today's, then Debian 12 to 13
	@$(MAKE) molecule SCENARIO=upgrade TESTBED=$${TESTBED:-molecule-upgrade}

slurm: setup ## The scenario slurm: a cluster, containers in its jobs, runs that playbooks submit
	@$(MAKE) molecule SCENARIO=slurm TESTBED=$${TESTBED:-molecule-slurm}

gpu: setup ## The scenario gpu: containers and GPUs that are none, under podman, apptainer and Slurm
	@$(MAKE) molecule SCENARIO=gpu TESTBED=$${TESTBED:-molecule-gpu}

test-gpu: setup ## A container on this machine's NVIDIA GPU, if it has one
	@testbed/test-gpu

# its largest image is built while the scenario default provisions the hosts
ood: setup ## The scenario ood: a portal's apps, from the form to the card
	@testbed/push-image --build jupyterlab
	@$(MAKE) molecule SCENARIO=ood TESTBED=$${TESTBED:-molecule-ood}

test-vm: setup ## The scenario vm, in a virtual machine: limits, NFS, reboots (slow)
	@$(MAKE) molecule SCENARIO=vm TESTBED=$${TESTBED:-vm}

bench: setup ## What we cost beside what a user would use instead: a table, and build/bench.json
	@python tests/bench/bench.py

## Set up and clean up

setup: ## Install all that the rest needs; every target does it itself
	@testbed/setup

tools: ## As setup, without what only hosts need: no root wanted
	@testbed/setup tools

clean: ## Remove every trace: hosts, images, networks, volumes, build/
	@testbed/clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^## / { printf "\n%s\n", substr($$0, 4) } \
	  /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
