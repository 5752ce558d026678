# Targets of the lab: a real Istio mesh on this machine (see tests/lab/README.md).
LAB_PYTHON ?= $(if $(PYTHON),$(PYTHON),python3)

.PHONY: lab-build lab-up lab-down lab-status lab-test lab-environment lab-readonly lab-differential lab-watch lab-ci bench-live

lab-build: ## build the lab's binaries into a cache outside the checkout
	$(LAB_PYTHON) -m tests.lab.build

lab-up: ## start the lab's mesh
	$(LAB_PYTHON) -m tests.lab up

lab-down: ## stop the lab's mesh
	$(LAB_PYTHON) -m tests.lab down

lab-status: ## say what runs in the lab
	$(LAB_PYTHON) -m tests.lab status

lab-test: ## prove diagnoses, fixes and verify commands on the live mesh
	$(LAB_PYTHON) -m tests.lab test

lab-environment: ## break the mesh's surroundings and see that diagnoses stay truthful
	$(LAB_PYTHON) -m tests.lab environment

lab-readonly: ## prove by the audit log that a diagnosis only reads, with the least role
	$(LAB_PYTHON) -m tests.lab readonly

lab-differential: ## compare offline verdicts with what real proxies answer to random cases
	$(LAB_PYTHON) -m tests.lab differential

lab-watch: ## compare measured propagation times with the audit log and the proxies' own logs
	$(LAB_PYTHON) -m tests.lab watch

bench-live: ## measure on a large mesh in the lab's API server
	$(LAB_PYTHON) -m tests.lab bench

lab-ci: ## faults of every family in a lab of its own, or plainly skipped where no lab can run
	@$(LAB_PYTHON) -m tests.lab.ci
