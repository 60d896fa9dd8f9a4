"""Loss and accuracy over a label set, against one example and one label at a time."""

import pytest
import torch

from veiltune.backbone import HuggingFaceModel
from veiltune.data.encoding import EncodedExamples
from veiltune.training import EvaluationConfig, evaluate


def brute_force(
    model: HuggingFaceModel, prompt: torch.Tensor, examples: EncodedExamples
) -> tuple[float, float]:
    """Each label's tokens are read behind each text alone, and their log-probabilities added."""
    losses, hits = [], []
    for context, truth in zip(examples.context_ids, examples.label_index, strict=True):
        scores = []
        for label in examples.label_ids:
            text = model.model.get_input_embeddings()(torch.tensor([[*context, *label]]))
            logits = model.model(inputs_embeds=torch.cat([prompt, text], 1)).logits[0].double()
            log_p = logits.log_softmax(-1)[-len(label) - 1 : -1]
            scores.append(sum(log_p[k, token].item() for k, token in enumerate(label)))
        losses.append(-scores[truth] / len(examples.label_ids[truth]))
        hits.append(max(range(len(scores)), key=scores.__getitem__) == truth)
    return sum(losses) / len(losses), sum(hits) / len(hits)


@pytest.mark.parametrize("fixture", ["single_tokens", "unequal_tokens"])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_loss_and_accuracy(
    fixture: str, batch_size: int, model: HuggingFaceModel, request: pytest.FixtureRequest
) -> None:
    examples: EncodedExamples = request.getfixturevalue(fixture)
    prompt = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        loss, accuracy = brute_force(model, prompt, examples)
    result = evaluate(model, prompt, examples, batch_size)
    assert result.loss == pytest.approx(loss, rel=1e-5)
    assert result.accuracy == accuracy
    assert 0 < accuracy < 1, "a case in which nothing can go wrong shows nothing"


def test_evaluation_leaves_no_graph(
    model: HuggingFaceModel, single_tokens: EncodedExamples
) -> None:
    prompt = torch.zeros(1, 2, 32, requires_grad=True)
    evaluate(model, prompt, single_tokens, 8)
    assert prompt.grad is None


def test_rounds_that_are_evaluated() -> None:
    config = EvaluationConfig(every=4)
    assert [index for index in range(11) if config.due(index, 10)] == [0, 4, 8, 10]
