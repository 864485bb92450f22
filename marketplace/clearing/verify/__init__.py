"""The verifier: checks a result against its book; shares only the model and its codec with the solver."""
