# EyesMol on a CPU: the detector behind the web page and the REST API, or the command.
#   docker build -t eyesmol .
#   docker run --rm -p 127.0.0.1:7860:7860 -e EYESMOL_TOKEN=secret eyesmol
#   docker run --rm -v "$PWD:/data" eyesmol recognize scans/ --out read.sdf
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY eyesmol eyesmol
COPY data_preprocess data_preprocess
COPY detector_training detector_training
COPY Qwen2-VL-Finetune Qwen2-VL-Finetune
# No torch: what reads with the detector, finds structures on pages and serves them.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir ".[serve,pdf,tables]"

FROM python:3.13-slim-bookworm
# RDKit draws with these. Debian keeps no version but its newest.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 libxext6 libxrender1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1001 eyesmol
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH
USER 1001
WORKDIR /data
EXPOSE 7860
HEALTHCHECK --start-period=30s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/api/health')"]
ENTRYPOINT ["eyesmol"]
CMD ["serve", "--host", "0.0.0.0"]
