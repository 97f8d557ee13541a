//! How does an actor work on its own, and tell of it while it does? An agent takes prompts out of a queue and answers
//! them word by word; who is connected hears every word, and may say when it is enough. The conversation is in the
//! key-value store, as it grows. (In Rivet Actors: `run`, `c.queue.next`, `c.broadcast`, `c.aborted` and `c.kv`.)

use greenroom_sdk::prelude::*;

const PROMPTS: Queue<String> = Queue::new("prompts");

/// The next word of the answer.
const WORD: Event<str> = Event::new("word");
/// The answer is over.
const ANSWER: Event<Answer> = Event::new("answer");

/// How long the model thinks about a word.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Default, Serialize, Deserialize)]
struct AiAgent {
    /// How many prompts have been answered.
    answered: u32,
    /// The id of the prompt that is being answered, and what has been said.
    prompt: String,
    words: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    text: String,
    is_cancelled: bool,
}

/// In earnest this would ask a model, and get its words over the network as they come.
fn model(prompt: &str) -> impl Iterator<Item = String> {
    let words = format!("You said: {prompt}. I have nothing to add to that.");
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    words.into_iter()
}

#[actor(vars = CancelToken, queues = [PROMPTS], events = [WORD, ANSWER])]
impl AiAgent {
    #[run]
    async fn run(cx: Context<Self>) -> Result<()> {
        loop {
            let prompt = PROMPTS.take(&cx).await?;
            // From now on `cancel` is about this prompt.
            let token = CancelToken::new();
            cx.vars(|current| *current = token.clone());
            let said = cx.update(|agent| agent.begin(&prompt.id));
            for word in model(&prompt.body).skip(said) {
                if token.run(time::sleep(PAUSE)).await.is_err() {
                    break;
                }
                if cx.is_aborted() {
                    // The actor has to stop. The prompt is dropped, not completed, and so comes again.
                    return Ok(());
                }
                // The word is heard when it is on disk.
                cx.broadcast(WORD, &word);
                cx.update(|agent| agent.words.push(word));
            }
            let (number, words) = cx.update(|agent| {
                agent.answered += 1;
                (agent.answered, std::mem::take(&mut agent.words))
            });
            let text = words.join(" ");
            // Nothing waits from here on, so all of this is one commit: the state, the conversation, and the end of
            // the prompt, whose sender then gets the answer.
            let (asked, said) = (format!("{number:08}/asked"), format!("{number:08}/said"));
            cx.kv().put_all([(asked, &prompt.body), (said, &text)])?;
            let is_cancelled = token.is_cancelled();
            let answer = Answer { text, is_cancelled };
            cx.broadcast(ANSWER, &answer);
            prompt.complete_with(&answer)?;
        }
    }

    /// How many words of this answer have been said before. It goes on where a crash or a new revision interrupted it.
    fn begin(&mut self, prompt: &str) -> usize {
        if self.prompt != prompt {
            prompt.clone_into(&mut self.prompt);
            self.words.clear();
        }
        self.words.len()
    }

    /// Ends the answer under way. What has been said so far stays said.
    #[action]
    fn cancel(&self, env: &Env<Self>) {
        env.vars(|current| current.cancel());
    }

    /// What was asked and said last, in turn: so many of both.
    #[action]
    async fn conversation(cx: Context<Self>, count: u32) -> Result<Vec<String>> {
        let latest = cx.kv().list("").reverse().limit(count.saturating_mul(2));
        let texts = latest.await?.into_iter().rev().map(|(_, text)| text);
        Ok(texts.map(String::from_utf8).collect::<Result<_, _>>()?)
    }
}

greenroom_sdk::component!(AiAgent);
