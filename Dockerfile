# The wheel is built outside (make wheel), so that the image needs neither Node nor a compiler.
FROM python:3.11-slim
RUN useradd --system --home-dir /var/lib/gaitkeeper --create-home gaitkeeper
COPY requirements.lock /tmp/requirements.lock
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock
COPY dist/*.whl /tmp/
RUN pip install --no-cache-dir --no-deps /tmp/*.whl && rm /tmp/*.whl /tmp/requirements.lock
USER gaitkeeper
EXPOSE 8800
ENTRYPOINT ["gaitkeeper"]
