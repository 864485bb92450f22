"""The trader's pages: a startup's and a provider's."""
