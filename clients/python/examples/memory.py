"""A user is remembered across threads, and unknown to the other user."""

from weft.func import add_messages, ask_model, entrypoint, get_runtime, task
from weft.store import WeftStore


@task
def call_model(messages, memory_store, user_id):
    namespace = ("memories", user_id)
    last_message = messages[-1]["content"]
    memories = memory_store.search(namespace, query=last_message)
    info = "\n".join(memory.value["data"] for memory in memories)
    if "remember" in last_message.lower():
        # The same key in every attempt: nothing is stored twice.
        memory_store.put(namespace, get_runtime().idempotency_key, {"data": last_message})
    system = f"You are a helpful assistant talking to the user. User info: {info}"
    return ask_model(messages, system=system).result()


@entrypoint(store=WeftStore())
def workflow(inputs, *, previous, config, store):
    messages = add_messages(previous or [], inputs)
    response = call_model(messages, store, config["configurable"]["user_id"]).result()
    return entrypoint.final(value=response, save=add_messages(messages, response))


if __name__ == "__main__":
    for thread, user, text in [
        ("memory-1", "bob", "Hi! Remember: my name is Bob"),
        ("memory-2", "bob", "what is my name?"),
        ("memory-3", "eve", "what is my name?"),
    ]:
        print(f"user {user}, thread {thread}: {text}")
        config = {"configurable": {"thread_id": thread, "user_id": user}}
        for message in workflow.stream(text, config, stream_mode="values"):
            print("   ", message["content"])
