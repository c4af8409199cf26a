"""What several tests share: tiny studies, made-up atlases, processes, known networks."""
