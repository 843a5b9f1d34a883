"""One file per stage: it joins the method and the machines, and writes one artifact."""
