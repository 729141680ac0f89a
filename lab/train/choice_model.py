"""Train the network on multiple-choice questions: every option against the whole article."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from deformer_qa.lab.train.losses import choice_distillation, layerwise_similarity
from deformer_qa.lab.train.model import LayersInTraining

_UNSEEN = -30_000.0


class ChoiceReaderInTraining(LayersInTraining):
    """``forward(batch)`` returns the loss and the options' logits for a batch of ``choices.collate_choices``."""

    def forward(
        self,
        option: Tensor,
        option_mask: Tensor,
        of_question: Tensor,
        place: Tensor,
        passage: Tensor,
        passage_mask: Tensor,
        of_article: Tensor,
        answer: Tensor,
    ) -> dict[str, Tensor]:
        """Return loss (scalar) and logits (questions, most options), a large negative number for a missing option."""
        frozen, recipe = self._frozen, self.recipe
        articles, article_mask = joined(self._apart(passage, passage_mask), passage_mask, of_article)
        article_mask = article_mask[of_question]
        both_mask = self.joint.beside(option_mask, article_mask)
        asked, read = self._apart(option, option_mask), articles[of_question]
        context = self.joint.context(asked, read, option_mask, article_mask)
        states = self.joint.layer_states(self.joint.mark(asked, read), context)
        rows = self.joint.passage_rows(asked.shape[1], read.shape[1])

        def tabled(scores: Tensor) -> Tensor:
            table = scores.new_full((len(answer), int(place.max()) + 1), _UNSEEN, dtype=torch.float32)
            return table.index_put((of_question, place), scores.float())

        logits = tabled(self.joint.logits(states[-1][:, rows]).choice)
        loss = recipe.ce * F.cross_entropy(logits, answer)
        if frozen.has_teacher:
            whole = joined(frozen.embed(passage), passage_mask, of_article)[0][of_question]
            aim = frozen.teacher_states(frozen.embed(option), whole, context)
            if recipe.kd:
                aimed = tabled(frozen.teacher_logits(aim[-1][:, rows]).choice)
                loss = loss + recipe.kd * choice_distillation(logits, aimed, recipe.temperature)
            if recipe.lrs:
                loss = loss + recipe.lrs * layerwise_similarity(states, aim[-len(states) :], both_mask)
        return {"loss": loss, "logits": logits}


def joined(states: Tensor, mask: Tensor, of_article: Tensor) -> tuple[Tensor, Tensor]:
    """Join the passages of each article one after the other, padded to the longest article.

    :param states: *Shape:* (passages, tokens, hidden).
    :param mask: *Shape:* (passages, tokens), bool.
    :param of_article: *Shape:* (passages,), ascending: the article of each passage.
    :return: *Shape:* (articles, tokens, hidden) and (articles, tokens).
    """
    n_articles = int(of_article[-1]) + 1
    texts = [states[of_article == one][mask[of_article == one]] for one in range(n_articles)]
    longest = -(-max(map(len, texts)) // 16) * 16
    rows = torch.stack([F.pad(text, (0, 0, 0, longest - len(text))) for text in texts])
    lengths = torch.tensor([len(text) for text in texts], device=states.device)
    return rows, torch.arange(longest, device=states.device)[None] < lengths[:, None]
