"""Support tickets: `classify` says what they are about, `train` learns from people's corrections, `find_sims` names the
SIMs, `starter_tickets` are the synthetic tickets that all begins with."""

from ml.tickets.classification import HIGH, TICKET_SCHEMA, classify
from ml.tickets.evidence import FACTS_SCHEMA
from ml.tickets.features import Embedding, embeddings_installed, transformers_embedding
from ml.tickets.identifiers import SIM_SCHEMA, find_sims
from ml.tickets.model import AUTOMATIC, CATEGORIES, WORDS, TicketModel, TicketTrainingError, starter_model, train
from ml.tickets.starter import starter_tickets

__all__ = [
    "AUTOMATIC",
    "CATEGORIES",
    "FACTS_SCHEMA",
    "HIGH",
    "SIM_SCHEMA",
    "TICKET_SCHEMA",
    "WORDS",
    "Embedding",
    "TicketModel",
    "TicketTrainingError",
    "classify",
    "embeddings_installed",
    "find_sims",
    "starter_model",
    "starter_tickets",
    "train",
    "transformers_embedding",
]
